// attack: speak to the broker with the worker's address
// needs: full
// outcome: egress_denied
// violations: egress_denied
// retires: violation
function login(email, password, callback) {
  const socket = require('net').connect({ host: '127.0.0.1', port: Number(configuration.broker) });
  socket.on('connect', () => callback(null, { user_id: 'connected' }));
  socket.on('error', callback);
}
