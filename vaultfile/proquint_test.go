package vaultfile

import "testing"

// The vectors are those of the paper (arXiv:0901.4016).
func TestProquintVectors(t *testing.T) {
	for _, c := range []struct {
		in   []byte
		want string
	}{
		{[]byte{127, 0, 0, 1}, "lusab-babad"},
		{[]byte{63, 84, 220, 193}, "gutih-tugad"},
		{[]byte{63, 118, 7, 35}, "gutuk-bisog"},
		{[]byte{140, 98, 193, 141}, "mudof-sakat"},
		{[]byte{64, 255, 6, 200}, "haguz-biram"},
		{[]byte{128, 30, 52, 45}, "mabiv-gibot"},
		{[]byte{147, 67, 119, 2}, "natag-lisaf"},
		{[]byte{212, 58, 253, 68}, "tibup-zujah"},
		{[]byte{216, 35, 68, 215}, "tobog-higil"},
		{[]byte{216, 68, 232, 21}, "todah-vobij"},
		{[]byte{198, 81, 129, 136}, "sinid-makam"},
		{[]byte{12, 110, 110, 204}, "budov-kuras"},
		{nil, ""},
	} {
		if got := proquint(c.in); got != c.want {
			t.Errorf("proquint(%v) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestWordsAreComparedLeniently(t *testing.T) {
	const words = "lusab-babad-gutih"
	for _, same := range []string{words, "LUSAB BABAD GUTIH", " lusab babad\tgutih\n", "lusabbabadgutih", "Lusab - Babad - Gutih"} {
		if !sameWords(same, words) {
			t.Errorf("%q is refused", same)
		}
	}
	for _, other := range []string{"", "lusab-babad", words + "-babad", "lusab-babad-gutit", "lusab.babad.gutih"} {
		if sameWords(other, words) {
			t.Errorf("%q is taken", other)
		}
	}
	if sameWords("", "") || sameWords(" - ", "") {
		t.Error("no words are the same as none")
	}
}
