# Flags of what users run. Sanitizer builds leave out what does not combine with them.
# No path of the machine that built it: the same sources give the same bytes.
# ccache with a base folder makes relative ones of them.
file(RELATIVE_PATH source_from_build ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR})
string(REGEX REPLACE "/$" "" source_from_build "${source_from_build}")
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -ffile-prefix-map=${source_from_build}=.)
# With LTO gcc puts random names into each object. The image of the same sources must have the same digest, also
# where all is compiled anew.
if(CMAKE_INTERPROCEDURAL_OPTIMIZATION AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
  string(REPLACE "-o <OBJECT>" "-frandom-seed=<OBJECT> -o <OBJECT>" CMAKE_C_COMPILE_OBJECT "${CMAKE_C_COMPILE_OBJECT}")
endif()
add_compile_options(-fstack-protector-strong -fstack-clash-protection -fcf-protection)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  # clang 14 wants a second switch for it that later versions refuse.
  add_compile_options(-ftrivial-auto-var-init=zero)
endif()
add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
if(TP_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
if(TP_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
if(TP_FUZZ)
  # Coverage feedback in the libraries; only the targets themselves link libFuzzer's main.
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
