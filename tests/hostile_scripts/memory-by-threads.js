// attack: let each worker thread fill a heap of its own
// deadline: 8
// outcome: any
function login(email, password, callback) {
  const { Worker } = require('worker_threads');
  const fill = 'const all = []; for (;;) all.push(new Array(1e5).fill(Math.random()))';
  let left = 4;
  for (let thread = 0; thread < 4; thread++) {
    const worker = new Worker(fill, { eval: true, resourceLimits: { maxOldGenerationSizeMb: 4096 } });
    worker.on('error', () => {});
    worker.on('exit', () => --left || callback(null, { user_id: 'attempted' }));
  }
}
