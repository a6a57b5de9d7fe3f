// attack: read environment, maps, command line and descriptors of another connection's process
// needs: fs
// came_to: {"environ":"refused","maps":"refused","cmdline":"refused","fd":"refused","root":"refused"}
function login(email, password, callback) {
  const fs = require('fs');
  const place = `/proc/${configuration.neighbour}`;
  report(callback, {
    environ: () => void fs.readFileSync(`${place}/environ`),
    maps: () => void fs.readFileSync(`${place}/maps`),
    cmdline: () => void fs.readFileSync(`${place}/cmdline`),
    fd: () => void fs.readdirSync(`${place}/fd`),
    root: () => void fs.readdirSync(`${place}/root`),
  });
}
