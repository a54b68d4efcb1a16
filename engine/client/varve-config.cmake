include("${CMAKE_CURRENT_LIST_DIR}/varve-targets.cmake")
