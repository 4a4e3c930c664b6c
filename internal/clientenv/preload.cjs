'use strict';
// Loaded by NODE_OPTIONS=--require into every Node program of a kb session, so
// that clients which ignore the proxy variables use the session's proxy. It must
// never break a program: whatever it cannot do, it leaves as it was.
(() => {
  const env = process.env;
  let proxy;
  try {
    proxy = new URL(env.https_proxy || env.HTTPS_PROXY);
  } catch {
    return; // none, or not of kb's making
  }
  if (proxy.protocol !== 'http:') return;
  const http = require('node:http');
  const https = require('node:https');

  // Came with proxyEnv, the agents' own proxy support: Node 22.21 and 24.5.
  const native = process.allowedNodeEnvironmentFlags.has('--use-env-proxy');
  if (native) {
    // An agent that a client makes for itself has no proxy unless told. A Proxy,
    // not a class: Agent may be called without new, and be inherited from.
    for (const mod of [http, https]) {
      const options = (args) => [{ proxyEnv: env, ...args[0] }];
      mod.Agent = new Proxy(mod.Agent, {
        construct: (target, args, newTarget) => Reflect.construct(target, options(args), newTarget),
        apply: (target, self, args) => Reflect.apply(target, self, options(args)),
      });
      // A request with agent: false makes its agent from this.
      mod.Agent.prototype.constructor = mod.Agent;
    }
    require('node:module').syncBuiltinESMExports();
    return;
  }

  const credential = proxy.username &&
    Buffer.from(`${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`).toString('base64');
  const direct = (env.no_proxy || env.NO_PROXY || '').split(/[\s,]+/).filter(Boolean)
    .map((name) => name.toLowerCase().replace(/^\*?\./, ''));
  const bypassed = (host) => {
    host = String(host).toLowerCase().replace(/^\[|\]$/g, '');
    return direct.some((name) => name === '*' || host === name || host.endsWith(`.${name}`));
  };

  // tunnel gives callback(null, socket) a connection to host:port through the
  // proxy, or callback(error), once.
  const tunnel = (host, port, callback) => {
    const authority = `${/^[^[].*:/.test(host) ? `[${host}]` : host}:${port}`;
    const socket = require('node:net').connect(Number(proxy.port) || 80, proxy.hostname.replace(/^\[|\]$/g, ''));
    let head = Buffer.alloc(0);
    const done = (error) => {
      for (const [event, f] of listeners) socket.off(event, f);
      if (error) {
        socket.on('error', () => {}); // the first error has been told
        socket.destroy();
        callback(error);
      } else {
        callback(null, socket);
      }
    };
    const closed = () => done(new Error(`proxy closed the connection to ${authority}`));
    const listeners = [
      ['connect', () => socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n` +
        (credential ? `Proxy-Authorization: Basic ${credential}\r\n` : '') + '\r\n')],
      ['data', (piece) => {
        head = Buffer.concat([head, piece]);
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) {
          if (head.length > 65536) done(new Error(`proxy answered CONNECT ${authority} without end`));
          return;
        }
        const status = head.toString('latin1', 0, head.indexOf('\r\n'));
        if (!/^HTTP\/1\.[01] 2\d\d/.test(status)) {
          done(new Error(`proxy refused CONNECT ${authority}: ${status}`));
          return;
        }
        socket.pause();
        if (head.length > end + 4) socket.unshift(head.subarray(end + 4));
        done(null);
      }],
      ['error', done],
      ['close', closed],
    ];
    for (const [event, f] of listeners) socket.on(event, f);
  };

  const createConnection = https.Agent.prototype.createConnection;
  https.Agent.prototype.createConnection = function (options, callback) {
    const host = options && (options.host || options.hostname);
    if (!host || options.socket || options.socketPath || typeof callback !== 'function' || bypassed(host)) {
      return createConnection.apply(this, arguments);
    }
    tunnel(host, options.port || 443, (error, socket) => {
      if (error) callback(error);
      else callback(null, createConnection.call(this, { ...options, socket }));
    });
    return undefined;
  };

  // fetch: the undici inside Node takes a dispatcher from this symbol, and its
  // Agent a function that connects. Both are reached at the first fetch only:
  // loading undici costs a program that never fetches some milliseconds.
  if (typeof globalThis.fetch !== 'function') return;
  const key = Symbol.for('undici.globalDispatcher.1');
  const install = () => {
    void globalThis.Headers; // loads undici, which sets its own dispatcher
    const present = globalThis[key];
    if (!present || present.constructor.name !== 'Agent') return; // a program's own choice
    const tls = require('node:tls');
    const dispatcher = new present.constructor({
      connect: (options, callback) => {
        const secure = options.protocol === 'https:';
        const host = options.hostname.replace(/^\[|\]$/g, '');
        const port = options.port || (secure ? 443 : 80);
        if (!secure) {
          const socket = require('node:net').connect(port, host);
          socket.once('connect', () => callback(null, socket)).once('error', callback);
          return;
        }
        const handshake = (error, socket) => {
          if (error) {
            callback(error);
            return;
          }
          const servername = require('node:net').isIP(host) ? '' : options.servername || host;
          const secured = tls.connect({ host, port, socket, servername, ALPNProtocols: ['http/1.1'] });
          const failed = (why) => callback(why);
          secured.once('error', failed);
          secured.once('secureConnect', () => {
            secured.off('error', failed);
            callback(null, secured);
          });
        };
        if (bypassed(host)) handshake(null, undefined);
        else tunnel(host, port, handshake);
      },
    });
    Object.defineProperty(globalThis, key, { value: dispatcher, writable: true, enumerable: false, configurable: false });
  };
  const { fetch } = globalThis;
  let installed = false;
  const proxied = (input, init) => {
    if (!installed) {
      installed = true;
      try {
        install();
      } catch {
        // fetch goes direct, as it would without this file.
      }
    }
    return fetch(input, init);
  };
  Object.defineProperty(proxied, 'name', { value: 'fetch' });
  Object.defineProperty(globalThis, 'fetch', { configurable: true, enumerable: true, writable: true, value: proxied });
})();
