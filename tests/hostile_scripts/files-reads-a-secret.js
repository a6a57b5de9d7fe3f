// attack: read a mounted secret by every call that reads
// needs: fs
// came_to: {"sync":"refused","promise":"refused","stream":"refused","blob":["refused","NotReadableError"],"copy":"refused","binding":"refused"}
function login(email, password, callback) {
  const fs = require('fs');
  const file = configuration.secret_file;
  report(callback, {
    sync: () => fs.readFileSync(file, 'utf8'),
    promise: () => fs.promises.readFile(file, 'utf8'),
    stream: () => new Promise((resolve, reject) => fs.createReadStream(file).on('data', (data) => resolve(`${data}`)).on('error', reject)),
    blob: async () => (await fs.openAsBlob(file)).text(),
    copy: () => fs.copyFileSync(file, '/dev/null'),
    binding: () => void process.binding('fs').open(file, 0, 0o600),
  });
}
