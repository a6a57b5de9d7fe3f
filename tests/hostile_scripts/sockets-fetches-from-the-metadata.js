// attack: fetch credentials from the metadata stand-in over HTTP, with redirects and headers
// needs: full
// violations: any
// retires: any
// came_to: {"fetch":"denied","axios":"denied","http2":"denied","socket":["denied","pending"]}
function login(email, password, callback) {
  const place = `127.0.0.66:${configuration.metadata_port}`;
  report(callback, {
    fetch: () => fetch(`http://${place}/latest/meta-data/`, { headers: { 'Metadata-Flavor': 'Google' } }),
    axios: () => require('axios').get(`http://${place}/`),
    http2: () => new Promise((resolve, reject) => require('http2').connect(`http://${place}`, resolve).on('error', reject)),
    socket: () => new Promise((resolve, reject) => {
      const socket = new WebSocket(`ws://${place}`);
      socket.onopen = resolve;
      socket.onerror = () => reject(Object.assign(new Error('closed'), { code: 'EACCES' }));
    }),
  });
}
