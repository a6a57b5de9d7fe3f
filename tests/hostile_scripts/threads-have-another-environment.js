// attack: look in a thread of its own for what the main thread lost
// outcome: out_of_memory
// detail: heap_exhausted
// retires: out_of_memory
function login(email, password, callback) {
  // A thread of Node's reserves half a gigabyte, which is more than the limit leaves.
  const { Worker, SHARE_ENV } = require('worker_threads');
  const code = 'require("worker_threads").parentPort.postMessage([Object.keys(process.env), process.argv])';
  new Worker(code, { eval: true, env: SHARE_ENV }).on('message', ([environment, argv]) => {
    const fixed = ['PATH', 'TZ', 'LANG'];
    const others = environment.filter((name) => !fixed.includes(name));
    callback(null, { user_id: 'attempted', environment: others, arguments: argv.join(' ').includes('secret') });
  });
}
