"""What runs inside an emulated instance: SSH login, shell and the Cloud Assistant agent."""
