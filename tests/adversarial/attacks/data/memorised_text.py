# title = "statistics of the text as a literal in the file, instead of learning them"
# expect = "no-effect"
# merit = "own"
# layer = "size: 64 KiB hold little; the score is what the model is worth"
# policies = "refused: size"
# broken_wall = "none: it is scored on its merit; a longer text is refused, see the next row"
# residual = "R4"

# --- honest part ---
PRIOR = (
    'ZZr#=|Fe3SoTWtOyLbvLc#s`Gvo|<)g%P6$7q6flOZ5^jG(}X!JKiq4jMBH`(O?SJF~fzW*UaKPcZEfo+rhNS0RQBTS6f}B#'
    'yA84CH7sg{yrp0OLpp*WLMdS2v6+@xp=QleHm(WMyP980G?xOVI8qz5w=>It^X;-<t?00j8G#-G);^Lt&z*t28#T3|6-ExVx'
    'XL(fykb5=X;u(>EjCxy|(obqGa!#=Ydcidux)eiR%TNTDL>nXIO5S`qF)%xt5E-Iic?~$vL^W<s+!R_?<_F2*vF7$~A{r_R@'
    'ZA^ipz@d3UEs{fIdowt3FleaF8a0AA>MzUtR`l+RZ)LF^Z`i@$!eO(zk_lfl_`u_&_`jlqJND@-&mR5R=4k)hgm;1kieBz0C'
    'TNLP)@i-fwyWgI-Y0lG&S$O~`j5wMY`z)>W&PVUZ@P6@zR?~j-T+R9XG=g&r<c>dJ-{R>_?{}f09xKsG9MVe0x6s^-SOMJto'
    '?`*vxVe0C6L(Ybixq?k2(Rn}n91qF`wgA(Kn?%WXogNM?lv&VaBdrtSia?XXF>9*+dhA;z^A5T$5jB~_O?y7~FbdCb$dcGHe'
    'YhttR6|PJ#u`o&3RXO|nhg&}+zy;JSfQis9?3#<*s+-<$vzspecPgxk~-PF;}49u#Z~IGT?m9)>G2IkDw)5_2KP!(xrqLLNZ'
    'm3wiMWpAN@Sr2@XIn&Zd=Z5n8TCXA<U=r>KJ>d#N4R09ZskU@|k%Y-P6`)PiAn0C=%~rQ|n~`y<&o-cDuhm=^k|qtBHTT?fO'
    'tFErXkCRuBk>+|9)YRa_`8Sy-M1FbZPggNYq~=v*`9EQ?N96v;2Pqq#<MnIHu?rn<VQv{Kl4FAve^n~mYsa*}i|!+`2X25vB'
    'V)<yNaI@;KvZ}o-<e7D3@eDY;Akk_fK<_yLo(osmQ`^bukuCVWj+ITs-j}fq4r-kG`aXkZfOl#9XU75`=B(F11{b<`}I-_tj'
    'MJu7*?|>w1NWONE89a8u))9q}Yw17`6#f+PzGSygXsRwQ<=^>kGgaot?l(R?YEBpTUzHfxLvWl7o5SPOSog4a1(E|UO@;!a='
    'xGnK#{sh8-BfOHG)1btWNC9vcdh)D0-kfRbM_8ZZ;@LJ*o6p45ffOk!*Kh26;5IOy-&m{A@TTNp#u(Xx+B#-%C{TQl9#J&2S'
    'b6>?Ct;<9~jn9(goKYlT0>7|6i;e32UV;x=i<2xMem^L1)v=mQq<?H|@}jQQx9vXXedz=K3cI!{vBKjH8&-7K3_v|K@qSgB+'
    'E%eZhDc#yn7v(jltG^vAzb4_QjIJt6uYHmT?F$y<W|xtBxW#l+5)*gTp;3anZ9PV>w9wiHlkyK)G;n_YYa@gr)2pb0u&GxP)'
    '_)w+#BX7>p!JES{eiZdVG=L0V@ryd(FC4GPvZZwVn{IPiy^o!e9p~f%=GecRq4*u6&rSPqx)#kER^rpQE?tZhJ50Drt0w4T~'
    '3H+7_Ei}U4!6{vm2RmM&+>ZF#mGMpe?ExSAmeb`+yYulJwX{BP0&}O065dthr|P#s?JB<$czR7O$TGO>l^xFGr=;_$#(u|YE'
    'aXO<$8Gjd@if0Ba=&1vT$m#`CSTeYqec<2Q$30(ANGLUSCO#J3K7CvHQ^kNb!b%yGV8Ic%p71G>zqzJPphEHrMO$Uj87hB62'
    'uRxQi_qux?aT{2c)bHl@<taL^0Kx0<s!Tl^V<tP+E<|2gL#IXh?{_>#=_~LYTH*;(&D~z-9?da2w2iyWznJUrA5FqZq<M7T*'
    '3KZ|=7~^}YZDKdHp0O$(NPWip~{rI2kq&@}?YJ#?cBlV?DwQGLYfD=OC(jH(KEOz-ED&I>c=IdkA5=`tYsAuJfs(8WWpd@!C'
    'yWDTi0N&^($nV(S-&9v?+>S@esgEJexmfS3=nkk(jGM@VbHv9spE*LqeieB2Xf@35@A)W;uO5QCUTfAo+co0#)6gP={z5bx_'
    'U+n8<|HyAR*;06HZE0+I!rQ_*-A<9TXDQb@C;M0FYlgCO|1|vJooj$j|5`s+N3EplqAwjuz#dZFw})Fx)N@`sCSDfq;6GV$i'
    '<?~o0h|Zew#6Ti+B#-#>=UasP6t4RV!qppV9o`>-p}K$7PlfWmVMwKWD9;rDYT!?OCoo7)ZHJ(9B+tENMs!Xw9z5c{W6TOi&'
    'ZiFtlGbd?=2F2<9n1Vs?cFY<x31<nja!EdoH`rzQ>PMWUu3$=k~x6cW#Zh%`*#B7f;u3eF7G?5;%Ha{QH6C@R62-c>-yh<Sd'
    'GgM*F)(0di#*=xZXyY8an(C8pX*2pc3(EMh`3&C(%v5|rP&F$&563JvzGi)OZ#*$(h;-uq;u8CV`C-hAx<{~YBDAV=q=XUA('
    'Cy6dau?*sS40eiK#=d1^YW{wZ=@GD}y1oU6_HvNLzW3doM0m*gT0AD(1LAV9#dcYLoHCE}1vvhDO2sA=y`6P*;F9?8yla!(4'
    '+PymecAp39DP=$&uql^LyQ4sQ{Q|OW+g47c`0uWAI0+cJMx`cX3P9go&el<9l=Inpy`F2eQ_wfWL!U9jVzz!CXj^~pQ4k;n-'
    'Q6d5OXL3Ij6#-NQ>w5v(6+K6ijC+a)$KkKbZTPn7MssEE8xmR@S!7Wyfxni*=Z=@!(<<YMAyJCHGr^u515DW#-e}qs~t){Da'
    '!Ge&%&9mRhsJ1f@IZsT{#JHjNJvR)Rl7RPvupR?(-UmppW1E-+plA0u@B`gG;{VN}e}~{=7@*6mZ{SoULu!12PI+Ya_tb^Ia'
    'Pe`L=`bu%;I^UF#7ieUYvS9XXt3TZfblKRMOINaeSk2IxY;6z0rV6@$C<PD>8I+8P1u1$13Qsr40Ry=MjY>T1<Xx!$x%_mx;'
    'JWhtQIA_usb5;N>r_Ij}j)a1o6A-1LdO{u{R-suIoc++@|CnMLttiC9zGd>C)CxKlI?&VxZKjYk!)of$qzT&gAuITR8*8!2E'
    'M7?_E4@Zx#5MkjOcRBRAO&zb1d4khBZ^)n;WB8mQs6Eikzy3MUam+D&-)@)n#<9qH`574}AD^K>uuzO_ZKOMtPDxIPUTLoaA'
    'Ctz}GaPuTB7lT(6e$)8TfG&vhQ69rb}cb#Febu-Z3ItW$8I#*5aG06?&a}|=k2j~a^KIe#Bi)7T;7BGkK>K#p(q%R1L|9)vZ'
    '*@T>JVc32=Z}=eCbCA+JY@oW4hs;RT;}R6yVzJ#K+EEt8{bmjOc1==3O?D=P+I@Sgd01y_eJ3L*SG3ciJVxX^13i#A#11lhw'
    'rM)gPQ)>viVLi{;@FL3qZbTW`X}W}vE!Tw>snxWHCl8?UVmtywfDVMDGg&iAD_9*Wvq8jU8>O6V1G@NOH3{ao#O8UP7JLoS2'
    'iRUU709_hdfjKeZuj3so5AY=KJ{r6V9;D1KJr5Qd{%~FGY*&Z?gjL$)=jo`Dye-SKMbYF3LVreoaOhPJkW0gp9;y1D*uS(WK'
    '<}$YlTMP3nCJ&^=IqCg-g)I%_RO!AZ@=XnIk<e+=qE!>e;P&dM3NttE7zi7lF3_F;uZ1zl_q!!Rc0ecR-db;X5pK$2*Zf@JS'
    '<*V@xQVl6p>vwj&o=obp+L~g{I&EA`MzteX2I8bY!#M>W~t`O*D*|_GO!uZbCUM-OK7V&NB-J<Y+}Lt%kICUUaNCa?Ou5F-L'
    '2|f_Dg^j81*<!SiG^jpuE}Urg$A1YQoGY3^NYPt8BNE8*&v='
)
seal(train(Unigram()))
