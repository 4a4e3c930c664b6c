// An authorization server for tests: the npm package oidc-provider over https.
//
// One line of JSON on stdin configures it; it ends when stdin does. On stdout
// are lines of JSON: {"ready": "https://…"} once, then one for each answer of
// the token endpoint, with the tokens that it gave.
import https from 'node:https';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const lines = createInterface({ input: process.stdin });
const say = (o) => process.stdout.write(`${JSON.stringify(o)}\n`);
lines.on('close', () => process.exit(0));

lines.once('line', async (line) => {
  const c = JSON.parse(line);
  const { default: Provider } = await import(pathToFileURL(c.package));
  let answer = (req, res) => res.writeHead(503).end();
  const server = https.createServer({ key: c.key, cert: c.cert }, (req, res) => answer(req, res));
  server.listen(c.port, c.host, () => {
    const issuer = c.issuer || `https://${c.host}:${server.address().port}`;
    const provider = new Provider(issuer, {
      clients: c.clients,
      cookies: { keys: ['a test signs its cookies with this'] },
      scopes: ['openid', 'offline_access', 'read', 'write'],
      findAccount: (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
      issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
      rotateRefreshToken: c.rotate,
      ttl: {
        AccessToken: c.life, ClientCredentials: c.life, AuthorizationCode: 60, DeviceCode: 300,
        RefreshToken: 86400, Grant: 86400, IdToken: 3600, Interaction: 600, Session: 86400,
      },
      features: {
        clientCredentials: { enabled: true },
        deviceFlow: { enabled: true },
        introspection: { enabled: true },
        revocation: { enabled: true },
        registration: { enabled: true },
        pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: c.requirePAR },
        resourceIndicators: {
          enabled: true,
          defaultResource: () => undefined,
          useGrantedResource: () => true,
          getResourceServerInfo: (ctx, resource) => ({ scope: 'read write', audience: resource, accessTokenTTL: c.life }),
        },
      },
    });
    const tell = (ctx, error) => {
      const p = ctx.oidc?.params ?? {};
      const { access_token: access, refresh_token: refresh } = error ? {} : ctx.body ?? {};
      say({ grant: p.grant_type ?? '', client: ctx.oidc?.client?.clientId ?? '', error, tokens: [access, refresh].filter(Boolean) });
    };
    provider.on('grant.success', (ctx) => tell(ctx, ''));
    provider.on('grant.error', (ctx, err) => tell(ctx, err.error ?? 'server_error'));
    provider.on('server_error', (ctx, err) => process.stderr.write(`${err.stack}\n`));
    answer = provider.callback();
    say({ ready: issuer });
  });
});
