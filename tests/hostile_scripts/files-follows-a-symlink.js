// attack: reach a secret over links, its own and those that are there
// needs: fs
// came_to: {"make":"refused","hard":"refused","there":"refused","self":"refused"}
function login(email, password, callback) {
  const fs = require('fs');
  const { folder, secret_file } = configuration;
  report(callback, {
    make: () => fs.symlinkSync(secret_file, `${folder}/link`),
    hard: () => fs.linkSync(secret_file, `${folder}/hard`),
    there: () => fs.readFileSync(`${folder}/link-to-secret`, 'utf8'),
    self: () => fs.readFileSync(`/proc/self/root${folder}/link-to-secret`, 'utf8'),
  });
}
