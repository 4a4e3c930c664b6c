package desk

import (
	"context"

	"kb/tui"
)

// Not there yet.
func (d *Desk) Logins(context.Context) ([]tui.Login, error) { return nil, errNotYet }

func (d *Desk) Refresh(context.Context, tui.LoginKey) (string, error) { return "", errNotYet }

func (d *Desk) LogoutPlan(context.Context, tui.LoginKey, bool) (string, error) { return "", errNotYet }

func (d *Desk) Logout(context.Context, tui.LoginKey, bool) (string, error) { return "", errNotYet }

func (d *Desk) LoginForm(context.Context, tui.LoginRequest) (tui.LoginForm, error) {
	return tui.LoginForm{}, errNotYet
}

func (d *Desk) Login(context.Context, tui.LoginRequest, tui.LoginScreen) (string, error) {
	return "", errNotYet
}

func (d *Desk) Imports(context.Context) ([]tui.Importable, error) { return nil, errNotYet }

func (d *Desk) Import(context.Context, tui.ImportRequest) (string, error) { return "", errNotYet }

func (d *Desk) Providers(context.Context) ([]tui.Provider, error) { return nil, errNotYet }

func (d *Desk) LintProvider(context.Context, string, string) ([]string, error) { return nil, errNotYet }

func (d *Desk) RemoveProvider(context.Context, string, string) (string, error) { return "", errNotYet }

func (d *Desk) OpenPage(context.Context, string) error { return errNotYet }
