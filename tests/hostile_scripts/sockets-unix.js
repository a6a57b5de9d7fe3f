// attack: speak to local services by unix sockets, by path and abstract
// needs: full
// came_to: {"path":"refused","abstract":"refused","listen":"refused","journal":["refused","ENOENT"]}
function login(email, password, callback) {
  const net = require('net');
  report(callback, {
    path: () => connects({ path: configuration.unix }),
    abstract: () => connects({ path: `\0${configuration.abstract}` }),
    listen: () => new Promise((resolve, reject) => net.createServer().on('error', reject).listen(`\0${configuration.mark}`, resolve)),
    journal: () => connects({ path: '/run/systemd/journal/stdout' }),
  });
}
