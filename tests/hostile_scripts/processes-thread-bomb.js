// attack: start worker threads until something gives way
// deadline: 5
// outcome: any
function login(email, password, callback) {
  const { Worker } = require('worker_threads');
  let count = 0;
  const more = () => {
    try {
      new Worker('setInterval(() => {}, 1e6)', { eval: true }).on('online', more).on('error', (error) => callback(error));
      count += 1;
      if (count === 300) callback(null, { user_id: 'attempted' });
    } catch (error) {
      callback(error);
    }
  };
  more();
  more();
}
