# cmake -DOUTPUT=F.c -DSYMBOL=name -DINPUTS=a.yaml|b.yaml -P Embed.cmake
# Writes the files, one YAML document after the other, as the bytes of one C array.
string(REPLACE "|" ";" inputs "${INPUTS}")
set(hex "")
foreach(input IN LISTS inputs)
  file(READ ${input} bytes HEX)
  string(APPEND hex "2d2d2d0a${bytes}0a") # "---\n" before each
endforeach()
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "#include \"cluster/manifests.h\"\n
const unsigned char ${SYMBOL}[] = {\n${bytes}\n};
const unsigned long ${SYMBOL}_len = sizeof(${SYMBOL});\n")
