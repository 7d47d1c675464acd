# The agent's engine with a manager by script: tests/netns/test_agent_engine*.py.
add_executable(agentdriver ${CMAKE_CURRENT_LIST_DIR}/agentdriver.c)
target_link_libraries(agentdriver PRIVATE tp_agent)
