// attack: open a port, so that somebody outside can come in
// needs: fs+net
// came_to: {"listen":"refused","six":"refused","http":"refused"}
function login(email, password, callback) {
  const listen = (server, host) => new Promise((resolve, reject) => server.on('error', reject).listen(Number(configuration.listen), host, resolve));
  report(callback, {
    listen: () => listen(require('net').createServer(), '127.0.0.1'),
    six: () => listen(require('net').createServer(), '::'),
    http: () => listen(require('http').createServer(), '0.0.0.0'),
  });
}
