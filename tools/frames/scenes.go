package main

// scenes are the frames of the docs.
var scenes = []scene{
	{name: "home", title: "kb: who uses what, and what waits", steps: []step{{wait: "Home"}}},
	{name: "first-run", title: "kb: the first run", home: empty, steps: []step{{wait: "(?i)first|welcome|init"}}},
}
