// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
// message: ECONNREFUSED
function login(email, password, callback) {
  const socket = require('net').connect({ port: 1, host: '127.0.0.1' });
  socket.on('error', callback);
}
