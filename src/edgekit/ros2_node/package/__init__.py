"""What stands around the node: the ROS 2 that is installed here, message types it lacks, packages for colcon."""
