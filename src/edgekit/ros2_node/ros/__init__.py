"""The layer that knows ROS 2: it imports rclpy, and nothing outside it does."""
