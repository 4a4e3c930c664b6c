// Gen writes docs/keys.md, the page of the dashboard's keys, from the list that the
// dashboard itself goes by.
//
// Run it by "go generate ./tui". ".ci/run generated" fails when the page is stale.
package main

import (
	"log"
	"os"

	"kb/tui"
)

func main() {
	log.SetFlags(0)
	if err := os.WriteFile("../docs/keys.md", tui.KeysPage(), 0o644); err != nil {
		log.Fatal(err)
	}
}
