// attack: connect to the broker, and hide that it was denied
// needs: full
// value: {"user_id":1}
// violations: egress_denied
// retires: any
function login(email, password, callback) {
  const socket = require('net').connect({ host: '127.0.0.1', port: Number(configuration.broker) });
  socket.on('error', () => callback(null, { user_id: 1 }));
}
