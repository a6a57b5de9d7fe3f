// attack: send a password out by UDP
// needs: full
// came_to: {"send":"refused","connected":"refused","six":"refused","broadcast":"refused"}
function login(email, password, callback) {
  const dgram = require('dgram');
  const port = Number(configuration.udp);
  const send = (type, host) => () => new Promise((resolve, reject) => {
    const socket = dgram.createSocket(type).on('error', reject);
    socket.send(password, port, host, (error) => (error ? reject(error) : resolve()));
  });
  report(callback, {
    send: send('udp4', '127.0.0.1'),
    connected: () => new Promise((resolve, reject) => {
      const socket = dgram.createSocket('udp4').on('error', reject);
      socket.connect(port, '127.0.0.1', () => socket.send(password, (error) => (error ? reject(error) : resolve())));
    }),
    six: send('udp6', '::ffff:127.0.0.1'),
    broadcast: () => new Promise((resolve, reject) => {
      const socket = dgram.createSocket('udp4').on('error', reject);
      socket.bind(0, () => {
        socket.setBroadcast(true);
        socket.send(password, port, '127.255.255.255', (error) => (error ? reject(error) : resolve()));
      });
    }),
  });
}
