# Every library is Debian's and found by pkg-config; a folder links only what it names.
find_package(PkgConfig REQUIRED)
foreach(lib IN ITEMS libnl-3.0 libmnl libnftnl libcurl json-c yaml-0.1 libnghttp2
                     libuv libcrypto libssl libcap-ng libseccomp)
  string(REPLACE "-" "_" name ${lib})
  string(REPLACE "." "_" name ${name})
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${lib})
endforeach()

# ldns ships no pkg-config file in Debian 12.
find_path(LDNS_INCLUDE_DIR ldns/ldns.h REQUIRED)
find_library(LDNS_LIBRARY ldns REQUIRED)
add_library(ldns INTERFACE IMPORTED)
set_target_properties(ldns PROPERTIES INTERFACE_INCLUDE_DIRECTORIES ${LDNS_INCLUDE_DIR}
                                      INTERFACE_LINK_LIBRARIES ${LDNS_LIBRARY})

# tp_folder(NAME LINK...): the static library of one folder under src/, from all its sources.
function(tp_folder name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  if(NOT sources)
    return()
  endif()
  add_library(tp_${name} STATIC ${sources})
  target_include_directories(tp_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(tp_${name} PUBLIC ${ARGN})
endfunction()
