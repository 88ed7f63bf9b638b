"""The trusted host side: the loop, its memory, its decisions and its command line."""
