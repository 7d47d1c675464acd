# Flags of what users run. Sanitizer builds leave out what does not combine with them.
# No path of the machine that built it: the same sources give the same bytes.
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
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
