# tunnelprobe: the client's end of a tunnel, for the tests of traffic-manager.
add_executable(tunnelprobe tunnelprobe.c)
target_link_libraries(tunnelprobe PRIVATE tp_tunnel)
