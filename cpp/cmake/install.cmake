# find_package(edgekit) and pkg-config for those who link the installed library.
include(CMakePackageConfigHelpers)
install(TARGETS edgekit EXPORT edgekitTargets)
install(DIRECTORY include/edgekit TYPE INCLUDE)
