"""darkshare: measure, retrain and splice Darknet networks that share their first layers.

from darkshare import concat, load, save

both = concat([load("base.cfg"), load("text.cfg")], k=74)
save(both, "both")

Every command of the command line is a function of the same name here. `__init__.pyi` lists all names; a module is
imported when a name of it is first used.
"""

from lazy_loader import attach_stub

from darkshare._version import __version__ as __version__

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
