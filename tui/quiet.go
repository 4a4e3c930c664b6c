package tui

import _ "charmquiet" // before bubbletea: see there
