// attack: receive what others send, by UDP and multicast
// needs: full
// came_to: {"bind":"refused","multicast":"refused"}
function login(email, password, callback) {
  const dgram = require('dgram');
  const bind = (then) => () => new Promise((resolve, reject) => {
    const socket = dgram.createSocket({ type: 'udp4', reuseAddr: true }).on('error', reject);
    socket.bind(Number(configuration.listen), () => {
      try {
        then(socket);
        resolve();
      } catch (error) {
        reject(error);
      }
    });
  });
  report(callback, { bind: bind(() => {}), multicast: bind((socket) => socket.addMembership('224.0.0.251')) });
}
