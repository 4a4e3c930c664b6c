package desk

import (
	"context"

	"kb/tui"
)

// Not there yet.
func (d *Desk) Profiles(context.Context) (tui.Profiles, error) { return tui.Profiles{}, errNotYet }

func (d *Desk) PutProfile(context.Context, tui.ProfileSpec) (string, error) { return "", errNotYet }

func (d *Desk) RemoveProfile(context.Context, string) (string, error) { return "", errNotYet }

func (d *Desk) DefaultProfile(context.Context, string) (string, error) { return "", errNotYet }

func (d *Desk) AddRule(context.Context, tui.Rule) (string, error) { return "", errNotYet }

func (d *Desk) RemoveRule(context.Context, string) (string, error) { return "", errNotYet }

func (d *Desk) RemovePin(context.Context, string) (string, error) { return "", errNotYet }

func (d *Desk) AddPolicy(context.Context, tui.PolicySpec) (string, error) { return "", errNotYet }

func (d *Desk) RemovePolicy(context.Context, string) (string, error) { return "", errNotYet }

func (d *Desk) TestPath(context.Context, string) (tui.Resolution, error) {
	return tui.Resolution{}, errNotYet
}

func (d *Desk) TestPolicy(context.Context, string, string, string) (string, error) {
	return "", errNotYet
}

func (d *Desk) Vault(context.Context) (tui.Vault, error) { return tui.Vault{}, errNotYet }

func (d *Desk) Sync(context.Context) (string, error) { return "", errNotYet }

func (d *Desk) RemoveDevice(context.Context, string) (string, error) { return "", errNotYet }

func (d *Desk) ReadJoin(context.Context, string) (tui.JoinRequest, error) {
	return tui.JoinRequest{}, errNotYet
}

func (d *Desk) ApproveDevice(context.Context, string) (string, error) { return "", errNotYet }

func (d *Desk) Rotated(context.Context, string) (string, error) { return "", errNotYet }
