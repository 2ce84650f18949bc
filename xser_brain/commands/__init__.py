"""The commands of ``xser`` that use a trained model.

Heavy imports wait until a command runs.
"""
