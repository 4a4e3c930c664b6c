package archtest

import (
	"go/ast"
	"testing"
)

// TestNothingInstalledReplacesTheDisk: the seam by which tests have saves fail
// (atomicfile.Disk) has no other way in. In what is installed nobody puts a
// Disk into a context, and the options take it from there only, where there is
// none.
func TestNothingInstalledReplacesTheDisk(t *testing.T) {
	for _, why := range replacedDisks(allSources(t)) {
		t.Error(why)
	}
}

func replacedDisks(files []*source) (complaints []string) {
	for _, s := range files {
		if s.test() {
			continue
		}
		complain := func(n ast.Node) {
			complaints = append(complaints, s.at(n)+": replaces the file system of saves, which only tests may")
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if n.Sel.Name == "WithDisk" {
					complain(n)
				}
			case *ast.KeyValueExpr:
				if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Disk" && !fromContext(n.Value) {
					complain(n)
				}
			case *ast.AssignStmt:
				for _, left := range n.Lhs {
					if sel, ok := left.(*ast.SelectorExpr); ok && sel.Sel.Name == "Disk" {
						complain(n)
					}
				}
			}
			return true
		})
	}
	return complaints
}

// fromContext reports whether e is atomicfile.DiskOf(...).
func fromContext(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "DiskOf"
}

func TestTheDiskCheckCanFail(t *testing.T) {
	bad := mustParse(t, "cmd/kb/disk.go", `package main
import "kb/internal/atomicfile"
func f() {
	ctx = atomicfile.WithDisk(ctx, d)
	_ = atomicfile.Options{Disk: d}
	opt.Disk = d
	_ = atomicfile.Options{Disk: atomicfile.DiskOf(ctx)}
}`)
	if got := replacedDisks([]*source{bad}); len(got) != 3 {
		t.Errorf("complaints are %q, want 3", got)
	}
}
