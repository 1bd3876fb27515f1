"""The word lists of the generated language, as plain data.

A concept is written as its synonyms joined by `/`; two concepts that are opposites are joined by `|`. English words
are used for readability; the generator gives them no meaning beyond synonym, opposite, frame and kind.
"""

PERSONS = """
doctor/physician teacher/instructor lawyer/attorney student/pupil writer/author singer/vocalist worker/employee
boss/manager guest/visitor thief/robber soldier/warrior sailor/mariner scientist/researcher actor/performer
judge/magistrate guard/sentry officer/cop child/kid baby/infant friend/pal rival/opponent shopper/customer
pilot/aviator farmer/grower hero/champion beggar/pauper traveler/voyager leader/chief expert/specialist
builder/carpenter rebel/dissident tutor/mentor
"""
MEN = "man/gentleman boy/lad father/dad waiter/steward"
WOMEN = "woman/lady girl/lass mother/mom waitress/stewardess"
ANIMALS = "dog/hound cat/feline horse/steed rabbit/bunny snake/serpent pig/hog frog/toad bird/fowl"
THINGS = """
car/automobile picture/image stone/rock boat/vessel coat/jacket couch/sofa gift/present cup/mug bag/sack box/carton
story/tale song/tune phone/telephone book/novel hat/cap bike/bicycle plane/airplane bucket/pail rug/carpet
cake/pastry movie/film magazine/journal map/chart prize/trophy tool/instrument letter/note weapon/gun jewel/gem
lamp/lantern ticket/voucher statue/sculpture parcel/package
"""
PLACES = """
garden/yard forest/wood shop/store hospital/clinic river/stream road/street church/chapel prison/jail
palace/castle harbor/port field/meadow hotel/inn market/bazaar hill/mound school/academy city/town
"""

INTRANSITIVE = """
arrive/appear|vanish/disappear smile/grin|frown/scowl cry/weep|laugh/giggle sleep/slumber|awaken/rise
shout/yell|whisper/murmur fall/tumble|stand/linger rest/relax|toil/labor complain/grumble|rejoice/celebrate
hesitate/pause|hurry/rush tremble/shiver talk/chat
"""
SOCIAL = """
help/assist|hinder/impede praise/commend|criticize/blame hire/employ|dismiss/fire love/adore|hate/detest
admire/respect|despise/scorn chase/pursue|evade/dodge annoy/irritate|please/delight scare/frighten|calm/soothe
deceive/trick punish/penalize|reward/honor hug/embrace|hit/strike watch/observe|ignore/overlook
defeat/conquer attack/assault|defend/protect save/rescue|abandon/desert trust/believe|doubt/suspect
push/shove|pull/drag meet/encounter|avoid/shun
"""
HANDLING = """
buy/purchase|sell/auction build/construct|demolish/destroy repair/fix|damage/wreck carry/transport
steal/swipe lose/misplace|find/discover hide/conceal|reveal/uncover make/create throw/toss|catch/grab
lift/hoist|lower/drop collect/gather|scatter/spread examine/inspect|disregard/neglect want/desire|refuse/reject
keep/retain|discard/dump decorate/adorn
"""
GIVING = "give/hand send/mail lend/loan offer/promise award/grant bring/pass"
CLAUSAL = "think/reckon say/state|deny/dispute hope/wish|fear/dread claim/assert know/realize"

PERSON_ADJECTIVES = """
happy/glad|sad/unhappy rich/wealthy|poor/needy clever/smart|foolish/silly brave/courageous|cowardly/timid
famous/renowned|unknown/obscure polite/courteous|rude/impolite angry/furious|gentle/mild old/elderly|young/youthful
strong/sturdy|weak/feeble generous/charitable|greedy/selfish tired/weary|lively/energetic honest/truthful
"""
THING_ADJECTIVES = """
big/large|small/little cheap/inexpensive|expensive/costly beautiful/pretty|ugly/hideous new/modern|ancient/antique
clean/spotless|dirty/filthy strange/odd|ordinary/normal useful/handy|useless/worthless round/circular shiny/glossy
"""
MANNERS = """
quickly/rapidly|slowly/gradually quietly/silently|loudly/noisily carefully/cautiously|carelessly/recklessly
happily/cheerfully|sadly/gloomily secretly/covertly|openly/publicly gladly/willingly|reluctantly/unwillingly
"""
PAST_TIMES = "yesterday recently/lately"
PRESENT_TIMES = "often/frequently|rarely/seldom"
FUTURE_TIMES = "tomorrow soon/shortly"
PREPOSITIONS = "in/inside near/beside behind"

IRREGULAR_PLURALS = {
    "man": "men",
    "gentleman": "gentlemen",
    "woman": "women",
    "child": "children",
    "thief": "thieves",
    "hero": "heroes",
}
IRREGULAR_VERBS = {
    "sleep": ("slept", "slept"), "weep": ("wept", "wept"), "fall": ("fell", "fallen"), "stand": ("stood", "stood"),
    "rise": ("rose", "risen"), "hit": ("hit", "hit"), "strike": ("struck", "stricken"),
    "meet": ("met", "met"), "buy": ("bought", "bought"), "sell": ("sold", "sold"), "build": ("built", "built"),
    "steal": ("stole", "stolen"), "lose": ("lost", "lost"), "find": ("found", "found"), "hide": ("hid", "hidden"),
    "make": ("made", "made"), "throw": ("threw", "thrown"), "catch": ("caught", "caught"),
    "spread": ("spread", "spread"), "keep": ("kept", "kept"), "give": ("gave", "given"), "send": ("sent", "sent"),
    "lend": ("lent", "lent"), "bring": ("brought", "brought"), "think": ("thought", "thought"), "say": ("said", "said"),
    "know": ("knew", "known"),
}  # fmt: skip
DOUBLED_FINALS = frozenset({"chat", "hug", "drag", "grab", "drop", "shun", "grin", "hit"})
"""Verbs that double their last letter before -ed and -ing."""
OBJECT_MAY_BE_LEFT_OUT = """
help assist attack steal throw toss catch push pull watch observe please believe doubt meet strike hit love fire
sell buy build hide lose drag fall want make create lower drop gather spread collect decorate scatter defend trick
keep refuse deceive conquer protect
"""
"""Transitive verbs that are also heard without an object; never used where a missing object must be an error."""

THINGS_DO_IT_TOO = """
arrive appear vanish disappear fall tumble stand linger rest rise pause tremble hinder impede annoy irritate please
delight scare frighten calm soothe help assist hit strike defend protect deceive trick reward save pull punish drag
"""
"""Verbs whose subject may well be a thing; never used where that must be an error."""

TAKES_A_CLAUSE_TOO = "complain grumble rejoice celebrate shout yell whisper murmur"
"""Intransitive verbs that are also heard with a clause; never used where a clause must be an error."""

TAKES_AN_OBJECT_TOO = """
cry weep laugh awaken rise shout yell whisper murmur stand rest relax celebrate rush hurry pause talk fall
"""
"""Intransitive verbs that are also heard with an object; never used where an object must be an error."""

FUNCTION_WORDS = """
the a an some this these that those no not and or but by to of than with is are was were be been being am has have had
do does did will would can could who what which whom where when why how it he she they him her them himself herself
themselves itself ever never any every each both true false one ones because before after while if whether there
nobody nothing everybody somebody only even also meanwhile elsewhere indeed instead however namely , . ? ! ' - ; :
similarly likewise
"""
