//! The words of enrolment codes: 256, one a byte. Short, plain, and not like each other when they are
//! read out. Their order is part of the protocol: never change it.

pub(super) const WORDS: &str = "\
acid acorn actor album alley amber anchor angle apple apron arena armor arrow atlas attic award \
bacon badge bagel baker bamboo banjo barn basil basket beach beard beaver bench berry bishop blade \
blanket bonus border bottle bridge broom bucket bundle butter button cabin cable cactus camel candle canoe \
canyon carpet castle cedar chalk cherry chess chimney circus clay clock clover cobra coffee comet copper \
coral cotton cradle crater cricket crown cube curtain daisy dancer dawn desert diamond dinner dolphin donkey \
dragon drum eagle echo elbow engine envoy fabric falcon farmer feather fence ferry fiddle finger flame \
flute forest fossil fox fridge frost funnel galaxy garlic gate ghost giant ginger glove goat gravel \
guitar hammer harbor harp hazel helmet hermit hockey honey hotel hunter iceberg igloo index ink island \
ivory jacket jaguar jelly jewel judge jungle kayak kettle kidney kiosk kitten knight ladder lagoon lantern \
laptop lemon lizard lobster locket lumber magnet mango maple marble mask meadow medal melon mirror monk \
mosaic motor muffin museum napkin nectar needle nest noodle north nutmeg oasis ocean olive onion opera \
orbit otter oven oyster paddle palace panda paper parrot pebble pencil pepper piano pigeon pillow pilot \
planet plum pocket pony potato prism puzzle quail quartz queen rabbit radar radio raven ribbon rifle \
river robot rocket saddle salmon sandal satin scarf school senate shadow shovel silver sketch soap soldier \
spider spoon square stable summer sword table tailor temple thunder ticket tiger tomato tractor tulip tunnel \
turtle umbrella uncle valley velvet violin vulture wagon walnut whale willow window winter yogurt zebra zipper";
