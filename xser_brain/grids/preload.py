"""What every run of a grid imports, for the process of which all runs are copies.

Importing it takes seconds; a copy of a process that has done so takes none. Only modules
are shared: no model, no random state and no thread is made here.
"""

import matplotlib.figure  # noqa: F401
import transformers.models.wav2vec2.modeling_wav2vec2
import transformers.models.whisper.modeling_whisper  # noqa: F401

import xser_brain.encoders.pretrained
import xser_brain.training.run  # noqa: F401
