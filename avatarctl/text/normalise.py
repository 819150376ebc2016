from avatarctl.text.tracked import Tracked
def tracked(text, language, pronounce=None): return Tracked.of(text)
