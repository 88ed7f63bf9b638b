# title = "HTML, terminal markup and a formula of the picture in a hypothesis"
# kind = "text"
# expect = "no-effect"
# layer = "sanitiser; each sink escapes its own"
# policies = "not asked"
# broken_wall = "markup-believed"
# success = "leak"

"[bold red]kept[/] [link=http://192.0.2.1]here <script>alert(1)</script> $\\input{/etc/passwd}$"
