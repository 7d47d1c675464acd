# Drives a root daemon by script: tests/netns/test_rootd*.py.
add_executable(rootclient ${CMAKE_CURRENT_LIST_DIR}/rootclient.c)
target_link_libraries(rootclient PRIVATE tp_ipc)
# Enters the root daemon's sandbox and makes one system call: test_rootd_hostile.py.
add_executable(sandboxprobe ${CMAKE_CURRENT_LIST_DIR}/sandboxprobe.c)
target_link_libraries(sandboxprobe PRIVATE tp_rootd)
