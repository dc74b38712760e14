"""Attention-routed encoder: queries of regions or vertices read an image's tokens."""

from neuroai.encoders.attention.decoder import AttentionDecoder as AttentionDecoder
from neuroai.encoders.attention.decoder import DecoderShape as DecoderShape
from neuroai.encoders.attention.encoder import AttentionEncoder as AttentionEncoder
from neuroai.encoders.attention.folded import folded_attention as folded_attention
from neuroai.encoders.attention.grouped import grouped_linear as grouped_linear
from neuroai.encoders.attention.head import RegionReadout as RegionReadout
from neuroai.encoders.attention.head import VertexReadout as VertexReadout
from neuroai.encoders.attention.positions import sine_position_code as sine_position_code
from neuroai.encoders.attention.queries import QueryLayout as QueryLayout
from neuroai.encoders.attention.queries import query_layout as query_layout
