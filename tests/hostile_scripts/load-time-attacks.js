// attack: do harm while being compiled and bound, before any call
// outcome: misconfigured
// detail: bind_error
// retires: bind_error
for (let guess = 0; guess < 50; guess++) sendFrame({ t: 'log', id: null, level: 'log', text: 'early', truncated: false });
throw new Error('at load');
