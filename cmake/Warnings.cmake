# Warnings are errors with every compiler that CI runs (gcc 12, clang 14).
add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -Wformat=2 -Wundef -Wcast-qual -Wnull-dereference -Wimplicit-fallthrough -Wpointer-arith
  -Werror -fno-common -fno-strict-aliasing)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  # Truncation is what the bounded message buffers are for.
  add_compile_options(-Wlogical-op -Wduplicated-cond -Wduplicated-branches -Wno-format-truncation)
endif()
