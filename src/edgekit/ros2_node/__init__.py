"""The ROS 2 node that runs a bundle: frames in, results and diagnostics out.

``ros/`` is the only part that imports rclpy; everything else here runs, and is tested, without ROS.
"""
