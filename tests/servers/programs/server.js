// Node's servers: server.js MODULE MODE PORT CERTS
const fs = require('fs');
const [module_, mode, port, certs] = process.argv.slice(2);
const read = (name) => fs.readFileSync(`${certs}/${name}`);
const options = {
  key: read('server.key'), cert: read('server.crt'), ca: read('client-ca.crt'),
  requestCert: mode !== 'none', rejectUnauthorized: mode === 'reject',
};
const PAGE = 'hello from afar';
const allowed = (socket) => ({
  forbid: () => socket.authorized,
  any: () => Object.keys(socket.getPeerCertificate()).length > 0,
  name: () => (socket.getPeerCertificate().subject || {}).CN === 'alice',
}[mode] || (() => true))();
const web = (request, response) => {
  const good = allowed(request.socket);
  response.writeHead(good ? 200 : 403);
  response.end(good ? PAGE : 'no');
};
const servers = {
  https: () => require('https').createServer(options, web),
  http2: () => require('http2').createSecureServer(options, web),
  tls: () => require('tls').createServer(options, (socket) => { socket.on('error', () => {}); socket.end(PAGE); }),
};
const server = servers[module_]();
server.on('tlsClientError', () => {});
server.on('sessionError', () => {});
server.listen(Number(port), '127.0.0.1');
