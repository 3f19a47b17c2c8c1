# What is installed, and how others find it: find_package(edgekit) and pkg-config.
include(CMakePackageConfigHelpers)

if(BUILD_SHARED_LIBS)
  set(edgekit_exports ${CMAKE_CURRENT_LIST_DIR}/exports.map)
  target_link_options(edgekit PRIVATE LINKER:--version-script=${edgekit_exports})
  set_target_properties(edgekit PROPERTIES LINK_DEPENDS ${edgekit_exports})
endif()

# Beside the library, and where its libraries were when it was built, such as ONNXRUNTIME_ROOT.
set_target_properties(edgekit PROPERTIES INSTALL_RPATH "$ORIGIN" INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS edgekit EXPORT edgekitTargets)
install(DIRECTORY include/edgekit TYPE INCLUDE)

set(edgekit_package ${CMAKE_INSTALL_LIBDIR}/cmake/edgekit)
install(EXPORT edgekitTargets NAMESPACE edgekit:: DESTINATION ${edgekit_package})
configure_package_config_file(cmake/edgekitConfig.cmake.in ${PROJECT_BINARY_DIR}/edgekitConfig.cmake INSTALL_DESTINATION ${edgekit_package})
# 0.x changes its C++ interface with the minor version.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/edgekitConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/edgekitConfig.cmake ${PROJECT_BINARY_DIR}/edgekitConfigVersion.cmake DESTINATION ${edgekit_package})

# From the folder of edgekit.pc back to the prefix, so that an installation can be moved.
file(RELATIVE_PATH edgekit_pc_up /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/edgekit.pc.in ${PROJECT_BINARY_DIR}/edgekit.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/edgekit.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
