# The resolver alone, with a nameserver in the place of the tunnel.
add_executable(dnsdriver ${CMAKE_CURRENT_LIST_DIR}/dnsdriver.c)
target_link_libraries(dnsdriver PRIVATE tp_dns)
