"""The names of the presets, for help pages: nothing heavy is imported for them."""

from typing import Literal

PresetName = Literal["gopher", "c4", "fineweb-2024", "refinedweb"]
