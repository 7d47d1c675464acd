# The flow engine on a TUN of its own, with a dialer into another namespace.
add_executable(flowecho ${CMAKE_CURRENT_LIST_DIR}/flowecho.c ${CMAKE_CURRENT_LIST_DIR}/flowdial.c
	${CMAKE_CURRENT_LIST_DIR}/flowpump.c)
target_link_libraries(flowecho PRIVATE tp_flow tp_tun)
# Connections of the same ports, one after the other.
add_executable(reuse ${CMAKE_SOURCE_DIR}/tests/integration/reuse.c)
