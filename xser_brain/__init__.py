"""Zero-shot cross-lingual speech emotion recognition on SpeechBrain.

Models, objectives, protocol, training and reports; knows no corpus by name. The
method is that of Mi, Ma & Toda, Interspeech 2026, arXiv:2606.06200.
"""
